"""Rules, by kind of operator; the table is vjp.py."""
