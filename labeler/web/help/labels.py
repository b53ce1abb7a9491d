"""Help for the pages about campaigns, model runs and quality: texts, marked for translation."""

from __future__ import annotations

from labeler.languages.texts import mark, mark_in_context
from labeler.web.help.topics import Topic

INTERVAL = (
    mark("95 %% interval"),
    mark(
        "The limits between which the true value probably lies. With few answers they are far "
        "apart."
    ),
)
HELP_LABELS = {
    "overview": Topic(
        mark("The overview tells how far the campaign is and how long it still takes."),
        (
            (mark_in_context("images", "Open"), mark("Images that still need votes.")),
            (
                mark("Agreed"),
                mark("Images whose label is certain enough. They get no more votes."),
            ),
            (
                mark("Contested"),
                mark(
                    "Images with as many votes as the rules allow, but without a certain label. "
                    "A supervisor decides them."
                ),
            ),
            (
                mark("Forecast"),
                mark(
                    "The votes that the open images need, at the pace of the last three hours. "
                    "It does not know that people go home."
                ),
            ),
            (
                mark("Throughput"),
                mark(
                    "All answers by time, with those that were undone later and those of the "
                    "qualification."
                ),
            ),
            (
                mark("Model’s share"),
                mark(
                    "The share of a label that the model expects in the whole data set. Easy "
                    "images are finished first, so the agreed labels differ from it until the "
                    "end."
                ),
            ),
        ),
        (
            mark("Invite people if nobody is working."),
            mark("Decide the contested images."),
            mark("Download the labels when few images are open."),
        ),
    ),
    "campaigns": Topic(
        mark(
            "A campaign says which images people label, by which rules, and with which guideline."
        ),
        (
            (
                mark_in_context("campaign", "Active"),
                mark(
                    "People get images of this campaign. If several are active, people choose "
                    "one at the top of their page."
                ),
            ),
            (
                mark("When and for whom"),
                mark(
                    "Outside of its period a campaign assigns no images. It is open to "
                    "everybody, or only to chosen people and groups."
                ),
            ),
            (
                mark("Archived"),
                mark("Put away with votes and labels. Nobody gets its images. It can be restored."),
            ),
            (
                mark("Paused"),
                mark("Nobody gets new images. People can still answer those that they have."),
            ),
            (
                mark("Finished"),
                mark(
                    "Images that need no more votes: their label is agreed, or they are contested."
                ),
            ),
            (
                mark("Presets"),
                mark(
                    "Quick majority takes the fewest votes, careful class a few more. The "
                    "experiment takes five votes for each image and hides the suggestions."
                ),
            ),
            (
                mark("Forecast"),
                mark(
                    "What simulated classes took by the same rules: votes, hours of work and "
                    "contested images. A real class may differ."
                ),
            ),
        ),
        (
            mark("Create a campaign and choose a preset."),
            mark("Write a guideline if the site’s own one does not fit."),
            mark(
                "Activate the campaign. The site tells first what that changes for people at work."
            ),
            mark("Archive a campaign that is finished. Only an admin can delete one, for good."),
            mark(
                "Change rules at any time. The form tells how many images open again. Votes stay."
            ),
        ),
    ),
    "gold": Topic(
        mark(
            "A gold question is an image whose correct answer is known. Gold questions look like "
            "all other images and show how well each person judges."
        ),
        (
            (
                mark("Right answers"),
                mark(
                    "How many people were right. For gold questions that were made from votes, "
                    "only later answers count."
                ),
            ),
            (
                mark("Check"),
                mark("Most people disagree with this gold question. Its label may be wrong."),
            ),
            (
                mark("Source"),
                mark("Where the correct answer comes from: a file, supervisors, or votes."),
            ),
        ),
        (
            mark("Have at least 30 gold questions, about equally many for each label."),
            mark(
                "Label some images yourself, then make gold questions from answers of supervisors."
            ),
            mark("Look at each one that is marked “check”, and remove it if it is wrong."),
        ),
    ),
    "contested": Topic(
        mark("Here you decide images on which the votes led to no certain label."),
        (
            (
                mark("Probability of each label"),
                mark("Once by all votes on the image, and once by the model."),
            ),
            (
                mark("Shown beside it"),
                mark(
                    "Whether the person saw a suggestion of the model. It may have led the answer."
                ),
            ),
            (
                mark("Cannot tell"),
                mark("The image stays contested and without a label. Nobody is asked again."),
            ),
        ),
        (
            mark(
                "Look at the image before the votes, then decide. A decision counts more than "
                "votes."
            ),
            mark("Skip an image if you are not sure, and ask somebody else."),
            mark("Undo a decision at any time. The votes then count again."),
        ),
    ),
    "runs": Topic(
        mark(
            "A model run learns from the votes and proposes a label for every image. People see "
            "these proposals as suggestions."
        ),
        (
            (
                mark("Accuracy"),
                mark("The share of right proposals, on labelled images that it had not seen."),
            ),
            (
                mark("Calibration error"),
                mark(
                    "How far its probabilities are from the shares that turn out right. Lower is "
                    "better."
                ),
            ),
            (mark("Labelled images"), mark("The images with votes on which the run was trained.")),
            (mark("Current"), mark("The run whose proposals the site uses.")),
        ),
        (
            mark("Wait: runs are trained automatically when enough votes have come."),
            mark(
                "Compare the last two runs. If the newer one is worse, make the older one current."
            ),
            mark("Stop a training if something is wrong. The current proposals stay."),
        ),
    ),
    "quality": Topic(
        mark(
            "The table shows how each person answers. It is for supervisors only and ranks "
            "nobody in public."
        ),
        (
            (
                mark("Right on gold questions"),
                mark(
                    "Right answers to gold questions, without those shown with a wrong suggestion."
                ),
            ),
            (
                mark("Agrees with others"),
                mark(
                    "Answers equal to the label, on images that are nearly certain without this "
                    "person."
                ),
            ),
            (
                mark("Copy rate"),
                mark("The estimated share of answers that only repeat the suggestion."),
            ),
            (
                mark("Wrong suggestions copied"),
                mark(
                    "Deliberately wrong suggestions beside gold questions that the person repeated."
                ),
            ),
            (
                mark("Information"),
                mark("0 if the answers do not depend on the image, 1 if all are right."),
            ),
            INTERVAL,
        ),
        (
            mark("Open a person with a flag, and look at the answers."),
            mark("“Repeats suggestions” means: even the lower end of the interval is above 25 %%."),
            mark("Write to the person. Low numbers often mean that the guideline is unclear."),
            mark("Pause the person if that does not help."),
        ),
    ),
    "agreement": Topic(
        mark(
            "This page tells how far people agree, whether the proposals are right, and whether "
            "suggestions lead people."
        ),
        (
            (
                mark("Krippendorff’s alpha"),
                mark("Agreement beyond chance: 1 is perfect, 0 is chance. Above 0.8 is good."),
            ),
            (
                mark("Cohen’s kappa"),
                mark("The same for each pair of people who share ten images or more."),
            ),
            (
                mark("Difference shown − hidden"),
                mark(
                    "How much more often people agree with a proposal that they see. Above 0, "
                    "suggestions lead them."
                ),
            ),
            INTERVAL,
        ),
        (
            mark("If alpha is low, look at contested images and make the guideline clearer."),
            mark("If suggestions lead people, hide them more often in the rules of the campaign."),
            mark("Wait for more votes if the intervals are wide."),
        ),
    ),
}
