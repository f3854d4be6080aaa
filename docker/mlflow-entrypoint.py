"""Starts MLflow's server on PostgreSQL once the database takes connections."""

import os
import time

import psycopg2

password = os.environ["POSTGRES_PASSWORD"]
for attempt in range(200):
    try:
        connection = psycopg2.connect(host="postgres", user="airflow", password=password, dbname="airflow")
        break
    except psycopg2.OperationalError:
        if attempt == 199:
            raise
        time.sleep(3)
connection.autocommit = True
with connection.cursor() as cursor:
    cursor.execute("select 1 from pg_database where datname = 'mlflow'")
    if cursor.fetchone() is None:
        cursor.execute("create database mlflow")
connection.close()

# By the environment, not by arguments: those show in the list of processes.
os.environ["MLFLOW_BACKEND_STORE_URI"] = f"postgresql+psycopg2://airflow:{password}@postgres:5432/mlflow"
hosts = ",".join(name + port for name in ("localhost", "127.0.0.1", "mlflow") for port in ("", ":5000", f":{os.environ.get('MLFLOW_PORT') or 5000}"))
os.execvp("mlflow", ["mlflow", "server", "--host", "0.0.0.0", "--port", "5000", "--workers", "1", "--artifacts-destination", "/data/artifacts", "--allowed-hosts", hosts])
