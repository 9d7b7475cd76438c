"""The one kernel of the course: the Python that runs this, whatever other kernels are registered on the machine."""

from jupyter_client import AsyncKernelManager
from jupyter_client.kernelspec import KernelSpec, KernelSpecManager


class ThisPython(KernelSpecManager):
    """Knows one kernel, `python3`, and it is the Python that runs this: no other one can slip in."""

    @property
    def kernel_dirs(self):
        """No folder is searched, so what remains is the kernel of this Python."""
        return []

    @kernel_dirs.setter
    def kernel_dirs(self, value):
        pass

    def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
        """The kernel, silent on the terminal but for errors: it serves this machine only and need not warn of eavesdroppers."""
        spec = super().get_kernel_spec(kernel_name)
        spec.argv = [*spec.argv, "--log-level=ERROR"]
        return spec


class ThisKernel(AsyncKernelManager):
    """Starts the kernel of the Python that runs this."""

    def __init__(self, **options):
        super().__init__(kernel_spec_manager=ThisPython(), **options)
