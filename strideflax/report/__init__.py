"""An analysis as one page: figures, tables and findings, in HTML and Markdown."""
