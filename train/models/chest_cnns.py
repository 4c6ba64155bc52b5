"""Networks of published studies that timm does not have."""

from train.common.arguments import IMAGENET, SCRATCH

# As settings of ChestCnnConfig.
CHEST_CNNS = {
    # Trained on covid19-image-dataset at 256 pixels; 3,926,147 parameters with three classes.
    "chest_cnn_covid19": {
        "num_channels": 3,
        "widths": (16, 64, 128, 128),
        "paddings": (0, 1, 1, 1),
        "block_dropouts": (0.0, 0.25, 0.3, 0.4),
        "hidden_sizes": (128, 64),
        "hidden_dropouts": (0.25, 0.0),
    },
    # Trained on chest-xray-pneumonia at 150 pixels: kaggle.com/madz2000/pneumonia-detection-using-cnn-92-6-accuracy,
    # 1,246,401 parameters with its one sigmoid output (a second logit adds 129).
    "chest_cnn_pneumonia": {
        "num_channels": 1,
        "widths": (32, 64, 64, 128, 256),
        "paddings": (1, 1, 1, 1, 1),
        "block_dropouts": (0.0, 0.1, 0.0, 0.2, 0.2),
        "dropout_after_pool": False,
        "batch_norm": True,
        "pool_ceil": True,
        "hidden_sizes": (128,),
        "hidden_dropouts": (0.2,),
    },
}


def default_init(architecture: str) -> str:
    """Where a model starts if nobody says otherwise: ImageNet, for which chest CNNs have no weights."""
    return SCRATCH if architecture in CHEST_CNNS else IMAGENET
