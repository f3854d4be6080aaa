"""Starts MLflow's server once the database at MLFLOW_BACKEND_STORE_URI takes connections; its password is in PGPASSWORD."""

import os
import time

import psycopg2

address = os.environ["MLFLOW_BACKEND_STORE_URI"].replace("+psycopg2", "", 1)
for attempt in range(200):
    try:
        psycopg2.connect(address).close()
        break
    except psycopg2.OperationalError:
        if attempt == 199:
            raise
        time.sleep(3)

hosts = ",".join(name + port for name in ("localhost", "127.0.0.1", "mlflow") for port in ("", ":5000", f":{os.environ.get('MLFLOW_PORT') or 5000}"))
os.execvp("mlflow", ["mlflow", "server", "--host", "0.0.0.0", "--port", "5000", "--workers", "1", "--artifacts-destination", "/data/artifacts", "--allowed-hosts", hosts])
