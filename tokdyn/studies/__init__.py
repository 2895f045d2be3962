"""Published experiments, each a module with Config, run(config) and report(dataset, folder)."""
