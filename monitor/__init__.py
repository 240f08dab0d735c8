"""Drawbridge: closed-loop defence of on-chain funds. Start at monitor/model, the nouns; monitor/shell/run.py is the loop."""
