"""The report: charts, the page, and a short summary in Markdown."""
