from airflow_any import DAG, DEFAULTS, START, Asset, task

try:
    orders = Asset("orders", uri="s3://warehouse/orders")
    customers = Asset("customers", uri="s3://warehouse/customers")
except TypeError:  # Airflow 2 knows a dataset by its URI alone
    orders, customers = Asset("s3://warehouse/orders"), Asset("s3://warehouse/customers")

with DAG("assets_all", schedule=[orders, customers], start_date=START, catchup=False, default_args=DEFAULTS):

    @task
    def join():
        return 1

    join()
