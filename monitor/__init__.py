"""Drawbridge: closed-loop defence of on-chain funds. The nouns are in monitor/model; monitor/shell/run.py is the loop."""
