"""Abstract test cases, one per kind of thing: whatever is added must pass the case of its kind.

A test module derives a class and gives the fixtures the case asks for::

    from cases.encoder import EncoderCase

    class TestMyEncoder(EncoderCase):
        @pytest.fixture
        def make(self):
            return lambda: load_encoder("mine")
"""
