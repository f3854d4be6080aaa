from airflow.providers.standard.operators.latest_only import LatestOnlyOperator

from airflow_any import DAG, DEFAULTS, task

with DAG("short_circuit", schedule=None, catchup=False, default_args=DEFAULTS):

    @task
    def count():
        return 0

    @task.short_circuit
    def is_enough(n):
        return n > 0

    @task.short_circuit(ignore_downstream_trigger_rules=False)
    def is_workday():
        return True

    @task
    def work():
        return 1

    [is_enough(count()), is_workday(), LatestOnlyOperator(task_id="latest_only")] >> work()
