"""Copies the rows of an MLflow server's SQLite file into PostgreSQL and renames the file: take_over_mlflow.py mlflow.db

PostgreSQL's address is in MLFLOW_BACKEND_STORE_URI. Killed anywhere and run again, it copies nothing twice: the copy is one
transaction, which also leaves the file's hash as a comment, and the file is renamed when that has been committed.
"""

import hashlib
import logging
import os
import sqlite3
import sys
import tempfile
from pathlib import Path

import sqlalchemy as sa
from mlflow.store.db.utils import _initialize_tables, _upgrade_db
from sqlalchemy.dialects.postgresql import insert

logging.disable(logging.WARNING)


def fingerprint(connection: sqlite3.Connection) -> str:
    digest = hashlib.sha256()
    for line in connection.iterdump():
        digest.update(line.encode())
    return digest.hexdigest()


def tables_of(connection: sa.Connection) -> list[sa.Table]:
    """All tables, each after those that it refers to."""
    metadata = sa.MetaData()
    metadata.reflect(connection)
    return [table for table in metadata.sorted_tables if table.name != "alembic_version"]


def revision(connection: sa.Connection) -> str:
    return connection.execute(sa.text("select version_num from alembic_version")).scalar_one()


def copy(source: sa.Connection, target: sa.Connection) -> None:
    there = {table.name: table for table in tables_of(source)}
    wanted = tables_of(target)
    if missing := there.keys() - {table.name for table in wanted}:
        sys.exit(f"PostgreSQL has no tables {', '.join(sorted(missing))}")
    # Rows that a new schema comes with, such as the default experiment.
    for table in reversed(wanted):
        target.execute(table.delete())
    for table in wanted:
        if table.name not in there:
            continue
        columns = [column for column in there[table.name].columns if column.name in table.columns]
        rows = source.execution_options(yield_per=1000).execute(sa.select(*columns))
        for part in rows.mappings().partitions():
            target.execute(insert(table), [dict(row) for row in part])
        for column in table.columns:
            serial = target.scalar(sa.text("select pg_get_serial_sequence(:table, :column)"), {"table": f'"{table.name}"', "column": column.name})
            if serial and (largest := target.scalar(sa.select(sa.func.max(column)))) is not None:
                target.execute(sa.text("select setval(:serial, :largest)"), {"serial": serial, "largest": largest})


def counts(connection: sa.Connection) -> tuple[int, int]:
    return tuple(connection.scalar(sa.text(f"select count(*) from {table}")) for table in ("runs", "registered_models"))


def main(file: Path) -> None:
    target_engine = sa.create_engine(os.environ["MLFLOW_BACKEND_STORE_URI"])
    with tempfile.TemporaryDirectory() as folder, sqlite3.connect(file) as original:
        # A copy, so that the file stays as it is until its rows are in PostgreSQL; what stands in its log comes along.
        with sqlite3.connect(Path(folder) / "mlflow.db") as work:
            original.backup(work)
            mark = f"taken over from SQLite {fingerprint(work)}"
        source_engine = sa.create_engine(f"sqlite:///{folder}/mlflow.db")
        _upgrade_db(source_engine)
        if sa.inspect(target_engine).has_table("alembic_version"):
            _upgrade_db(target_engine)
        else:
            _initialize_tables(target_engine)
        with source_engine.connect() as source, target_engine.begin() as target:
            if revision(source) != revision(target):
                sys.exit("the two databases did not come to the same schema")
            before = target.scalar(sa.text("select obj_description('alembic_version'::regclass, 'pg_class')"))
            if before != mark:
                if any(counts(target)):
                    sys.exit(f"PostgreSQL holds runs or models already, and rows are not mixed: move {file} away to go on without it, or empty the database `mlflow`")
                copy(source, target)
                target.execute(sa.text(f"comment on table alembic_version is '{mark}'"))
            runs, models = counts(source)
    original.close()
    file.rename(f"{file}.taken-over")
    print(f"{runs} runs and {models} registered models are in PostgreSQL now; the old file is {file.name}.taken-over")


main(Path(sys.argv[1]))
