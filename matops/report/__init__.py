"""What is shown: tables and progress."""
