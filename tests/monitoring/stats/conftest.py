from hypothesis import settings

# A deadline is a time limit, and the first example of many imports scipy.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")
