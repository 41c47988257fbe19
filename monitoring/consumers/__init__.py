"""Predictions and outcomes from message queues, into the same ingest as over HTTP.

`messages` turns one message into one deed, `crew` does many at a time, and `brokers`
(RabbitMQ), `streams` (Redis) and `kafka` read; they acknowledge what is committed.
"""
