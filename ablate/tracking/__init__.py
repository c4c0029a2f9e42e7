"""Store → MLflow: gets finished files and numbers, renders nothing."""
