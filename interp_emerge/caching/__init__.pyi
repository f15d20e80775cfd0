from .attention import attention_weights as attention_weights
from .recording import Recording as Recording, record as record
from .store import ActivationStore as ActivationStore
