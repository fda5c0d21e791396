"""The local stack: PostgreSQL, engine, MLflow, Airflow and the city, started, watched and stopped."""
