"""A fleet to watch: agents that work through the HTTP API alone, each a process of its own, with all that goes wrong.

`crew` starts the processes and counts what they say; `preparation` gives them agents, tokens and campaigns. The members
themselves (`members`, `client`, `platform`) know no Django and no database: they are what agents elsewhere would be.
"""
