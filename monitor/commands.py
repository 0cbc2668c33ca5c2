"""The writing door for people's actions: each writes its audit row in the same transaction.

There are no logins yet, and so nobody to act: the web process only reads.
"""
