from airflow_any import DAG, DEFAULTS, task

with DAG("variables_and_connections", schedule=None, catchup=False, default_args=DEFAULTS):

    @task
    def fetch_rates():
        from airflow.sdk import BaseHook, Variable

        bank = BaseHook.get_connection("bank")
        return {"currency": Variable.get("currency", "EUR"), "host": bank.host}

    fetch_rates()
