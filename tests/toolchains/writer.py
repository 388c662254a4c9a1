"""Writes rows, one transaction each, and says of each when it is committed: DATABASE WRITER ROWS."""

import sqlite3
import sys

database, writer, rows = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
connection = sqlite3.connect(database, timeout=60, isolation_level=None)
for row in range(rows):
    connection.execute("BEGIN IMMEDIATE")
    connection.execute(
        "INSERT INTO t(writer, row, body) VALUES(?, ?, randomblob(?))", (writer, row, row * 37 % 9000)
    )
    connection.execute(
        "UPDATE t SET body = randomblob(500) WHERE id = (SELECT max(id) - 7 FROM t)"
    )
    connection.execute("COMMIT")
    print(row, flush=True)
