"""credentials.csv: what the server writes at its first start and the command line reads. Owns the name and the columns."""

from __future__ import annotations

FILE = "credentials.csv"
COLUMNS = {
    "user": "User Name",
    "access_key": "Access Key Id",
    "secret_key": "Secret Access Key",
    "account": "Account Name",
    "password": "Password",
    "project": "Project Name",
    "project_id": "Project Id",
}
"""Field -> column, in the order of the file. Other programs read it: it stays as it is."""
