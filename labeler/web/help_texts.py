"""The help for each page of Manage, by the name of the page in `labeler.web.manage_menu`."""

from __future__ import annotations

from dataclasses import dataclass

from labeler.audit.log import ADDRESS_DAYS


@dataclass(frozen=True, slots=True)
class Topic:
    """The help for one page.

    `purpose`: what the page is for. `terms`: words and numbers on it, and what they mean.
    `steps`: what to do next.
    """

    purpose: str
    terms: tuple[tuple[str, str], ...]
    steps: tuple[str, ...]


INTERVAL = (
    "95 % interval",
    "The limits between which the true value probably lies. With few answers they are far apart.",
)

TOPICS = {
    "overview": Topic(
        "The overview tells how far the campaign is and how long it still takes.",
        (
            ("Open", "Images that still need votes."),
            ("Agreed", "Images whose label is certain enough. They get no more votes."),
            (
                "Contested",
                "Images with as many votes as the rules allow, but without a certain label. "
                "A supervisor decides them.",
            ),
            (
                "Forecast",
                "The votes that the open images need, at the pace of the last three hours. It does "
                "not know that people go home.",
            ),
            (
                "Throughput",
                "All answers by time, with those that were undone later and those of the "
                "qualification.",
            ),
            (
                "Model’s share",
                "The share of a label that the model expects in the whole data set. Easy images "
                "are finished first, so the agreed labels differ from it until the end.",
            ),
        ),
        (
            "Invite people if nobody is working.",
            "Decide the contested images.",
            "Download the labels when few images are open.",
        ),
    ),
    "campaigns": Topic(
        "A campaign says which images people label, by which rules, and with which guideline.",
        (
            (
                "Active",
                "People get images of this campaign. If several are active, people choose one at "
                "the top of their page.",
            ),
            (
                "When and for whom",
                "Outside of its period a campaign assigns no images. It is open to everybody, or "
                "only to chosen people and groups.",
            ),
            (
                "Archived",
                "Put away with votes and labels. Nobody gets its images. It can be restored.",
            ),
            ("Paused", "Nobody gets new images. People can still answer those that they have."),
            (
                "Finished",
                "Images that need no more votes: their label is agreed, or they are contested.",
            ),
            (
                "Presets",
                "Quick majority takes the fewest votes, careful class a few more. The experiment "
                "takes five votes for each image and hides the suggestions.",
            ),
            (
                "Forecast",
                "What simulated classes took by the same rules: votes, hours of work and "
                "contested images. A real class may differ.",
            ),
        ),
        (
            "Create a campaign and choose a preset.",
            "Write a guideline if the site’s own one does not fit.",
            "Activate the campaign. The site tells first what that changes for people at work.",
            "Archive a campaign that is finished. Only an admin can delete one, for good.",
            "Change rules at any time. The form tells how many images open again. Votes stay.",
        ),
    ),
    "gold": Topic(
        "A gold question is an image whose correct answer is known. Gold questions look like all "
        "other images and show how well each person judges.",
        (
            (
                "Right answers",
                "How many people were right. For gold questions that were made from votes, only "
                "later answers count.",
            ),
            ("Check", "Most people disagree with this gold question. Its label may be wrong."),
            ("Source", "Where the correct answer comes from: a file, supervisors, or votes."),
        ),
        (
            "Have at least 30 gold questions, about equally many for each label.",
            "Label some images yourself, then make gold questions from answers of supervisors.",
            "Look at each one that is marked “check”, and remove it if it is wrong.",
        ),
    ),
    "contested": Topic(
        "Here you decide images on which the votes led to no certain label.",
        (
            ("Probability of each label", "Once by all votes on the image, and once by the model."),
            (
                "Shown beside it",
                "Whether the person saw a suggestion of the model. It may have led the answer.",
            ),
            (
                "Cannot tell",
                "The image stays contested and without a label. Nobody is asked again.",
            ),
        ),
        (
            "Look at the image before the votes, then decide. A decision counts more than votes.",
            "Skip an image if you are not sure, and ask somebody else.",
            "Undo a decision at any time. The votes then count again.",
        ),
    ),
    "images": Topic(
        "Here you find images by name, label, status, proposal and much else.",
        (
            (
                "Label with a percentage",
                "The label on which the votes agreed, and how probable it is.",
            ),
            ("Proposal", "The label that the current model run thinks likeliest."),
            ("Yaw", "How far the head is turned. Positive numbers mean towards your right."),
        ),
        (
            "To find errors, filter for labels that differ from the proposal.",
            "Open an image to see every answer, and how its label came about.",
            "Keep the filter as a subset to use its images elsewhere.",
        ),
    ),
    "subsets": Topic(
        "A subset is a filter of the images, or a list of them, under a name. Campaigns, downloads "
        "of labels, gold questions, mean faces and the rotation engine take one.",
        (
            (
                "Live",
                "The filter is run anew each time, with the votes and proposals of one campaign.",
            ),
            ("Frozen", "An exact list. It never changes, whatever people vote."),
            (
                "SHA-256 of the names",
                "Two lists with the same hash have the same images. It is the hash of the sorted "
                "file names, one per line.",
            ),
        ),
        (
            "Filter the images, then press “Keep as a subset”.",
            "Freeze a subset before you publish results about it.",
            "Download the file names to turn heads with these images only.",
        ),
    ),
    "data-sets": Topic(
        "A data set is a set of images: an upload, or a folder or zip file on the server.",
        (
            ("Broken files", "Files that cannot be read as images. They are not shown to people."),
            ("Active", "An active campaign takes its images from this data set."),
            ("Yaw", "How far a head is turned. The mean faces need it; a button measures it."),
        ),
        (
            "Press “Add images” and upload a zip file or a folder. Or use a folder on the server.",
            "To continue an interrupted upload, choose the same files again.",
            "Look at the broken files. Add the corrected ones as another data set.",
            "Create a campaign for the images.",
        ),
    ),
    "studio": Topic(
        "The studio turns heads. This page lists the heads that have been turned, with their "
        "settings.",
        (
            ("Strip", "The source and all turned heads side by side, as one picture."),
            (
                "Angle",
                "How far the head looks to the left or right. Left and right are yours, as you "
                "look at the picture.",
            ),
            (
                "Doubtful",
                "A frame that may not be good. The head was turned far, or much of it was hidden.",
            ),
            (
                "Cluster",
                "Images of other people whose heads look in about the same direction. Together "
                "they show how a head turns.",
            ),
            (
                "Link",
                "Everybody who has the link of a result sees its strip and its name. Nobody can "
                "guess it, and you can revoke it.",
            ),
        ),
        (
            "Open a result and move the slider to turn the head.",
            "Tick two results to compare them, for example with and without the light filter.",
            "Download the strip, or share it by a link.",
        ),
    ),
    "mean-faces": Topic(
        "A mean face is the average of all faces with the same light and head pose. It shows at a "
        "glance whether the labels are right.",
        (
            ("n", "How many images were averaged. With few, the mean face is noisy."),
            (
                "Variance",
                "How much the images differ from their mean face, averaged over all pixels.",
            ),
            (
                "Mean squared difference",
                "How much two neighbouring mean faces differ.",
            ),
        ),
        (
            "Check that the lit half is bright. If it is not, look at the labels of these images.",
            "Store the yaw of the images first if the page says that it is not known.",
            "Draw it again after more labels have been agreed.",
        ),
    ),
    "runs": Topic(
        "A model run learns from the votes and proposes a label for every image. People see these "
        "proposals as suggestions.",
        (
            ("Accuracy", "The share of right proposals, on labelled images that it had not seen."),
            (
                "Calibration error",
                "How far its probabilities are from the shares that turn out right. Lower is "
                "better.",
            ),
            ("Labelled images", "The images with votes on which the run was trained."),
            ("Current", "The run whose proposals the site uses."),
        ),
        (
            "Wait: runs are trained automatically when enough votes have come.",
            "Compare the last two runs. If the newer one is worse, make the older one current.",
            "Stop a training if something is wrong. The current proposals stay.",
        ),
    ),
    "quality": Topic(
        "The table shows how each person answers. It is for supervisors only and ranks nobody in "
        "public.",
        (
            (
                "Right on gold questions",
                "Right answers to gold questions, without those shown with a wrong suggestion.",
            ),
            (
                "Agrees with others",
                "Answers equal to the label, on images that are nearly certain without this "
                "person.",
            ),
            ("Copy rate", "The estimated share of answers that only repeat the suggestion."),
            (
                "Wrong suggestions copied",
                "Deliberately wrong suggestions beside gold questions that the person repeated.",
            ),
            (
                "Information",
                "0 if the answers do not depend on the image, 1 if all are right.",
            ),
            INTERVAL,
        ),
        (
            "Open a person with a flag, and look at the answers.",
            "“Repeats suggestions” means: even the lower end of the interval is above 25 %.",
            "Write to the person. Low numbers often mean that the guideline is unclear.",
            "Pause the person if that does not help.",
        ),
    ),
    "agreement": Topic(
        "This page tells how far people agree, whether the proposals are right, and whether "
        "suggestions lead people.",
        (
            (
                "Krippendorff’s alpha",
                "Agreement beyond chance: 1 is perfect, 0 is chance. Above 0.8 is good.",
            ),
            ("Cohen’s kappa", "The same for each pair of people who share ten images or more."),
            (
                "Difference shown − hidden",
                "How much more often people agree with a proposal that they see. Above 0, "
                "suggestions lead them.",
            ),
            INTERVAL,
        ),
        (
            "If alpha is low, look at contested images and make the guideline clearer.",
            "If suggestions lead people, hide them more often in the rules of the campaign.",
            "Wait for more votes if the intervals are wide.",
        ),
    ),
    "people": Topic(
        "Everybody who has an account, with their status in the chosen campaign. The page of a "
        "person has their answers, and what you can do about them.",
        (
            ("Answers", "Those that count in the chosen campaign, without exercises."),
            ("In qualification", "The person answers gold questions first and learns from them."),
            ("Paused", "The person gets no images. They read the reason that you give."),
            (
                "Not in this campaign",
                "The campaign is restricted to other people.",
            ),
            ("Pseudonym", "The name in exports. It tells nobody who the person is."),
        ),
        (
            "Read the sentences marked “check”, then open the person and look at their answers.",
            "Tick answers and send them back. The person looks at these images again. Until then "
            "the earlier answers count.",
            "Give a reason when you pause somebody. They read it and can answer it.",
            "Admins can also change roles, hand over a link for a new password, and close or "
            "anonymise accounts. Votes stay.",
        ),
    ),
    "messages": Topic(
        "Each person has one thread with all supervisors. Nobody else reads it.",
        (
            ("New", "No supervisor has read these messages yet."),
            ("Read", "A supervisor has read the newest message, and nobody has answered."),
            ("Answered", "The newest message is from a supervisor."),
        ),
        (
            "Open a thread to read and answer it. It is then read for all supervisors.",
            "To write to somebody first, open the person on the page “People”.",
            "Anonymising an account deletes its thread.",
        ),
    ),
    "groups": Topic(
        "A group is a name for people, such as a class.",
        (
            ("Members", "People in the group. A person can be in several groups."),
            ("Restricted", "Only chosen people and groups get images of such a campaign."),
        ),
        (
            "Create a group for each class that gets a campaign of its own.",
            "Choose the group in an invite, so that new people join it by themselves.",
            "Open the campaign, and choose the group under “When and for whom”.",
        ),
    ),
    "invites": Topic(
        "An invite is a link with which people create an account. There is no other way.",
        (
            ("Used", "How many accounts the link has opened, and how many it may open."),
            ("Open", "The link works until the time beside it."),
            ("Used up, expired, revoked", "The link no longer works. Accounts stay."),
        ),
        (
            "Create one link for a whole class, and say how many people are in it.",
            "Copy the link at once: it is shown only once.",
            "Revoke a link that reached the wrong people.",
        ),
    ),
    "privacy": Topic(
        "The privacy notice says what this site stores about people, how long, and who sees it. "
        "Everybody can read it.",
        (
            (
                "Default notice",
                "The text that is shown until you write another one. It is true of this software.",
            ),
            ("Markdown", "Plain text with a few signs, such as # before a heading."),
        ),
        (
            "Add who runs the site, why you collect answers, and whom people can ask.",
            "Add what your server keeps besides, such as the log of a web server and backups.",
            "Read it again after each new version of the software.",
        ),
    ),
    "jobs": Topic(
        "Jobs are work that takes longer, such as training a model. A background worker does them, "
        "one after the other.",
        (
            ("Queued", "The job waits until the worker is free."),
            ("Attempt", "The worker ended in the middle, and the job began again."),
            ("Failed", "The job gave up. The reason stands beside it."),
        ),
        (
            "Open a job to read its log.",
            "Cancel a job that is not needed, or queue a failed one again.",
            "If jobs stay queued, check that the worker runs on the machine of the site.",
        ),
    ),
    "audit": Topic(
        "The audit log tells who changed what, and when. Nobody can change or delete an entry.",
        (
            ("Who", "The person who did it. A dash means a command, or somebody unknown."),
            ("Concerns", "What it was done to, such as an account."),
            ("Address", f"The network address. It is erased after {ADDRESS_DAYS} days."),
        ),
        (
            "Filter by kind or person to find an event.",
            "Many wrong passwords in a short time can mean that somebody guesses.",
        ),
    ),
}
