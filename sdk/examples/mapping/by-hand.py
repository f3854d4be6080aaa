from airflow_any import DAG, DEFAULTS, task

with DAG("mapping", schedule=None, catchup=False, default_args=DEFAULTS):

    @task(task_id="list")
    def list_files():
        return ["a.jpg", "b.jpg"]

    @task
    def sizes():
        return [10, 20]

    @task
    def jobs():
        return [{"file": "a.jpg", "size": 1}]

    @task
    def hash(file, algorithm):
        return len(file)

    @task
    def resize(file, size):
        return size

    @task
    def total(values):
        return len(values)

    @task
    def side_by_side__items(files, sizes):
        return [{"file": file, "size": size} for file, size in zip(files, sizes)]

    files = list_files()
    hashes = hash.override(map_index_template="{{ task.inputs['file'] }}", max_active_tis_per_dagrun=2).partial(algorithm="sha256").expand(file=files)
    total(hashes)
    hash.override(task_id="hash_known").partial(algorithm="md5").expand(file=["x.jpg", "y.jpg"])
    resize.override(task_id="every_pair").expand(file=files, size=[16, 32])
    resize.override(task_id="each_job").partial(file=None).expand(size=jobs())
    pairs = side_by_side__items(files, sizes())
    resize.override(task_id="side_by_side").partial(file=None).expand(size=pairs)
