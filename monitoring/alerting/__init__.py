"""When somebody is told: the settings of a model's alerts, and what they mean.

Pure: settings are read and compared here, results become signals here. Rows and
messages are the business of `monitoring.actions.alerts`.
"""
