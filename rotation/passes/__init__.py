"""Long passes over the images of a set, in this process or on a Ray cluster.

A pass is a list of tasks, such as batches of filenames, and a worker that turns a task into a
result. The worker reads and decodes images, holds the model, and computes. The process that asked
for the pass takes the results in the order of the tasks and writes them. The same worker serves
both places, so there is one code for the mathematics.
"""
