"""Settings for the whole suite: examples of hypothesis are the same on every machine and every day."""

import hypothesis

hypothesis.settings.register_profile("tokdyn", derandomize=True, deadline=None, print_blob=True)
hypothesis.settings.load_profile("tokdyn")
