"""What tells those who watch from outside how Gatehouse is: `/metrics`, logs for machines, reports of errors."""
