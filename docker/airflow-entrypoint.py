"""Starts one of Airflow's programs in a container: airflow-entrypoint.py scheduler | api-server | dag-processor | triggerer.

The scheduler brings the database up to date; the others wait until it is. So the containers may start in any order.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

program = sys.argv[1]
env = os.environ

# The connection to CVAT, or to the labeler where no CVAT is set. JSON, since a password may hold any character.
cvat = env.get("CVAT_URL")
connection = {"conn_type": "http", "host": cvat or "http://labeler:8080"}
if cvat and env.get("CVAT_TOKEN"):
    connection["password"] = env["CVAT_TOKEN"]
elif cvat:
    connection.update(login=env.get("CVAT_USER"), password=env.get("CVAT_PASSWORD"))
else:
    connection.update(login=env.get("LABELER_USER") or "admin", password=env["LABELER_PASSWORD"])
if cvat and env.get("CVAT_ORGANIZATION"):
    connection["extra"] = {"organization": env["CVAT_ORGANIZATION"]}
env["AIRFLOW_CONN_CVAT_DEFAULT"] = json.dumps(connection)
# Where the tasks find the registry.
env["AIRFLOW_CONN_AIRLOOM_REGISTRY"] = json.dumps(
    {"conn_type": "postgres", "host": "postgres", "port": 5432, "login": "airloom", "password": env["PGPASSWORD"], "schema": "airloom"}
)

user = env.get("AIRFLOW_USER") or "admin"
env["AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS"] = f"{user}:admin"
passwords = Path(env["AIRFLOW_HOME"]) / "passwords.json"
env["AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE"] = str(passwords)
passwords.write_text(json.dumps({user: env.get("AIRFLOW_PASSWORD") or "admin"}))
passwords.chmod(0o600)

command = ["db", "migrate"] if program == "scheduler" else ["db", "check-migrations", "--migration-wait-timeout", "600"]
deadline = time.monotonic() + 600
while subprocess.run(["airflow", *command]).returncode != 0:
    if time.monotonic() > deadline:
        sys.exit(f"the database did not come up within 600 s (airflow {' '.join(command)})")
    time.sleep(3)

os.execvp("airflow", ["airflow", program])
