from airflow_any import DAG, DEFAULTS, Asset, AssetAlias, task

try:
    orders = Asset("orders", group="shop", extra={"owner": "sales"})
except TypeError:
    orders = Asset("orders", extra={"owner": "sales"})
parts = AssetAlias("parts")

with DAG("asset_events", schedule=None, catchup=False, default_args=DEFAULTS):

    @task(outlets=[orders, parts])
    def load(*, outlet_events):
        outlet_events[orders].extra = {"rows": 120}

    @task(inlets=[orders])
    def report(*, inlet_events):
        return {"rows": [event.extra["rows"] for event in inlet_events[orders]]}

    load() >> report()
