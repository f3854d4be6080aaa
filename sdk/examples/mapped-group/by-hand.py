from airflow_any import DAG, DEFAULTS, task, task_group

with DAG("mapped_group", schedule=None, catchup=False, default_args=DEFAULTS):

    @task(task_id="list")
    def list_images():
        return [{"sha256": "ab", "bytes": 3}]

    @task
    def decode(image):
        return {"width": 2}

    @task
    def store(decoded, image):
        return 6

    @task(task_id="sum")
    def add(values):
        return len(values)

    @task_group
    def per_image(item):
        return store(decode(item), item)

    add(per_image.expand(item=list_images()))
