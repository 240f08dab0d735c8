"""Drawbridge: closed-loop defence of on-chain funds. The nouns: monitor/model; the loop: monitor/shell/run.py."""
