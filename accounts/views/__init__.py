"""The pages that people have for themselves: settings, notifications, the second factor, and the ways in by e-mail."""
