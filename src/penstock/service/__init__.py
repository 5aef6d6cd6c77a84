"""One module for each chapter of the API reference, one function for each operation."""
