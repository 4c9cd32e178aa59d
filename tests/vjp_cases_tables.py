"""Cases of the rows of ai.onnx.ml; see vjp_cases.py."""

import numpy as np

from vjp_cases import Case, case, ints

ROWS = (3, 4)
APART = np.array([[0.5, -0.8, 1.2, 2], [1.4, 0.3, -1.9, 0.9]], np.float32)
WEIGHTS = [0.5, -1.0, 2.0, 0.3, 1.5, -0.7, 0.2, 1.0]

CLASSES = {"coefficients": WEIGHTS, "intercepts": [0.1, 0.2], "classlabels_ints": [3, 5]}

TABLES: dict[str, list[Case]] = {
    "ai.onnx.ml.ArrayFeatureExtractor": [case(ROWS, ints(2, 0, 2))],
    "ai.onnx.ml.FeatureVectorizer": [case(ROWS, (3, 2), inputdimensions=[4, 2], free=())],
    "ai.onnx.ml.Imputer": [case(ROWS, imputed_value_floats=[7.0], replaced_value_float=99.0)],
    "ai.onnx.ml.LinearClassifier": [
        case(ROWS, **CLASSES, outputs=2, free=()),
        case(ROWS, **CLASSES, post_transform="SOFTMAX", outputs=2, free=()),
    ],
    "ai.onnx.ml.LinearRegressor": [
        case(ROWS, coefficients=WEIGHTS, intercepts=[0.1, 0.2], targets=2, post_transform="LOGISTIC"),
        case(ROWS, coefficients=WEIGHTS[:4]),
    ],
    "ai.onnx.ml.Normalizer": [*(case(APART, norm=norm) for norm in ("MAX", "L1", "L2"))],
    "ai.onnx.ml.Scaler": [case(ROWS, offset=WEIGHTS[4:], scale=WEIGHTS[:4]), case(ROWS, offset=[1.0], scale=[2.0])],
}
