"""The portal for sales reps and shops will live here, with its offline forms. Nothing is built yet."""
