"""What people look at: charts, the page and its short summary in Markdown."""
