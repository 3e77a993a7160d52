"""Make a picture, edit it, and print how it was made: `python examples/quick_start.py`."""

from dreamomni import DreamOmniPipeline

pipe = DreamOmniPipeline.from_pretrained("mini")

made = pipe("two red stars above a blue house", seed=0)
made.images[0].save("stars.png")

# The size of image 1 is kept; the seed decides what the words leave open.
edited = pipe("replace the house with a tree", image=made.images[0], seed=0)
edited.images[0].save("stars_edited.png")

# A list of prompts runs as one batch, and each image still depends on its own seed alone.
batch = pipe(["a green heart", "a purple umbrella"], num_images_per_prompt=2, seed=7)
for number, image in enumerate(batch.images, start=1):
    image.save(f"batch_{number}.png")

print(edited.provenance[0].model_dump_json(indent=2))
