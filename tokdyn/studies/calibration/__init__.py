"""How often diagnostics of latent tokens are right: sensitivity and false alarms over many trainings of known truth."""
