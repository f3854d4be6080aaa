from airflow_any import DAG, DEFAULTS, START, Asset, task

with DAG(
    "assets_and_or", schedule=(Asset("rates") & (Asset("orders") | Asset("refunds"))), start_date=START, catchup=False, default_args=DEFAULTS
):

    @task
    def report():
        return 1

    report()
