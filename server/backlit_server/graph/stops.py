"""Operators that no gradient passes, each by a decision. A standard operator is here, in VJPS, or defined by others."""

from collections.abc import Mapping

# The derivative of these is zero wherever there is one: steps, comparisons, positions, and what ignores the values.
FLAT = frozenset((
    "And", "ArgMax", "ArgMin", "BitShift", "BitwiseAnd", "BitwiseNot", "BitwiseOr", "BitwiseXor", "BlackmanWindow",
    "Ceil", "Constant", "ConstantOfShape", "Equal", "EyeLike", "Floor", "Greater", "GreaterOrEqual", "HammingWindow",
    "HannWindow", "Hardmax", "IsInf", "IsNaN", "Less", "LessOrEqual", "MelWeightMatrix", "NonMaxSuppression", "NonZero",
    "Not", "OptionalHasElement", "Or", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike",
    "Round", "SequenceLength", "Shape", "Sign", "Size", "Xor",
    "ai.onnx.ml.Binarizer", "ai.onnx.ml.LabelEncoder", "ai.onnx.ml.OneHotEncoder",
))  # fmt: skip

RANDOM = "it draws random numbers, and what was drawn has no gradient"
STEPS = "what it does is known only while it runs, so it could not be written out"
TRAINING = "it is a step of training; export the model for inference"
TREES = "a decision tree is constant between its thresholds"
VECTORS = "support vector machines have no rule"
REFUSED: Mapping[str, str] = {
    "Bernoulli": RANDOM,
    "BitCast": "it reads the bits of a number as those of another type",
    "Multinomial": RANDOM,
    **dict.fromkeys(("ConcatFromSequence", "SequenceAt", "SequenceConstruct", "SequenceEmpty", "SequenceErase"), STEPS),
    **dict.fromkeys(("Optional", "SequenceInsert", "SplitToSequence"), STEPS),
    **dict.fromkeys((f"ai.onnx.ml.SVM{kind}" for kind in ("Classifier", "Regressor")), VECTORS),
    **dict.fromkeys((f"ai.onnx.ml.TreeEnsemble{kind}" for kind in ("", "Classifier", "Regressor")), TREES),
    **dict.fromkeys((f"ai.onnx.preview.training.{op}" for op in ("Adagrad", "Adam", "Gradient", "Momentum")), TRAINING),
}
UNKNOWN = "there is no rule for it, and it is no operator of the ONNX specification"
