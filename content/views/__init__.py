"""The review desk's pages: an item, what comes next, one decision on many."""
