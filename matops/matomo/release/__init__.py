"""A new release: fetched by the host itself, verified, tested, unpacked where nobody serves it."""
