-- Beside the registry's database `airloom`, which the image makes: those of Airflow and MLflow. Run once, on an empty volume.
create database airflow;
create database mlflow;
