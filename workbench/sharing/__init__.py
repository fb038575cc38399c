"""Sessions for others: rows as files, a report with pictures, a script that computes them again."""
