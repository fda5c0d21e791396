"""The model of MLflow's scoring server: it looks a person's features up and asks the champion (``ml.serving``)."""

from __future__ import annotations

from typing import Any

import mlflow
import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.pyfunc import PythonModel

from jobs.errors import CitywellError
from ml.serving import Desk


class Champions(PythonModel):
    """Input: person_key, question. Output: see ``ml.serving.TOLD``."""

    def load_context(self, context: Any) -> None:
        self._desk = Desk()

    def predict(self, context: Any, model_input: pd.DataFrame, params: Any = None) -> pd.DataFrame:
        try:
            return self._desk.answer(model_input)
        except CitywellError as error:
            raise MlflowException.invalid_parameter_value(str(error)) from None


mlflow.models.set_model(Champions())
