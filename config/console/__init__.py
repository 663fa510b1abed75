"""The console's own pages, those that belong to no single app: its frame, the control room, the search."""
