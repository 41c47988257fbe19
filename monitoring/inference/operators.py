"""What an artifact may consist of: everything that isn't here is refused.

Only arithmetic on tensors: nothing that loops, branches, calls, or draws at random.
"""

# Of each domain, the first and the last version of its operators.
OPSETS = {"": (9, 24), "ai.onnx.ml": (1, 5)}

_ONNX_ML = """
ArrayFeatureExtractor Binarizer CategoryMapper FeatureVectorizer Imputer LabelEncoder
LinearClassifier LinearRegressor Normalizer OneHotEncoder SVMClassifier SVMRegressor
Scaler TreeEnsemble TreeEnsembleClassifier TreeEnsembleRegressor
"""
_ONNX = """
Abs Add And ArgMax ArgMin BatchNormalization Cast CastLike Ceil Clip Concat Constant
ConstantOfShape Cos Div Dropout Elu Equal Erf Exp Expand Flatten Floor Gather
GatherElements GatherND Gelu Gemm Greater GreaterOrEqual HardSigmoid Identity IsInf
IsNaN LayerNormalization LeakyRelu Less LessOrEqual Log LogSoftmax MatMul Max Mean Min
Mod Mul Neg Not OneHot Or PRelu Pow Reciprocal ReduceL1 ReduceL2 ReduceLogSum
ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum ReduceSumSquare Relu
Reshape Round Selu Shape Sigmoid Sign Sin Slice Softmax Softplus Softsign Split Sqrt
Squeeze Sub Sum Tan Tanh TopK Transpose Unsqueeze Where Xor
"""
OPERATORS = {
    "ai.onnx.ml": frozenset(_ONNX_ML.split()),
    "": frozenset(_ONNX.split()),
}
