# needs 3.0
from airflow.providers.standard.triggers.file import FileDeleteTrigger
from airflow.sdk import AssetWatcher

from airflow_any import DAG, DEFAULTS, START, Asset, task

inbox = Asset("inbox", watchers=[AssetWatcher(name="file", trigger=FileDeleteTrigger(filepath="/data/inbox/ready"))])

with DAG("asset_watcher", schedule=[inbox], start_date=START, catchup=False, default_args=DEFAULTS):

    @task
    def take():
        return 1

    take()
