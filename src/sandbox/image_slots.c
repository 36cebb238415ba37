// image_slots.c - sandboxes that wait for container images.
//
// A spare has our root already and cannot get another. So once an image was asked for, some wait as
// BLANK: everything is made but the root. And the images that were started last have one each that
// waits as DRESSED: the image is its root, and only limits and the program are missing, as with a
// spare. Both are made when nothing is asked of the keeper, and none holds anything of a function.
#include "sandbox/keeper_impl.h"

#include "base/cleanup.h"
#include "os/fd.h"
#include "os/message.h"
#include "sandbox/beneath.h"

#include <stdio.h>
#include <sys/stat.h>

static struct recent_image *recent_find(struct keeper *k, const char *name)
{
    for (unsigned i = 0; i < KEEPER_RECENT_IMAGES; i++)
        if (k->recent_images[i].name[0] && strcmp(k->recent_images[i].name, name) == 0)
            return &k->recent_images[i];
    return NULL;
}

// The slot that waits with this image, or will in a moment.
static struct slot *waiting_for(struct keeper *k, const struct recent_image *r)
{
    struct slot *s = &k->slots[r->slot];
    if (s->generation != r->generation || s->connection >= 0 || s->killed ||
        (s->state != SLOT_DRESSED && s->state != SLOT_MAKING) ||
        strcmp(s->image_name, r->name) != 0)
        return NULL;
    return s;
}

static void forget(struct keeper *k, struct recent_image *r)
{
    struct slot *s = waiting_for(k, r);
    r->name[0] = '\0';
    if (s)
        slot_kill(k, s);
}

void image_slot_used(struct keeper *k, const struct slot *s)
{
    struct recent_image *oldest = &k->recent_images[0], *r;
    if (!s->image_name[0])
        return;
    r = recent_find(k, s->image_name);
    for (unsigned i = 0; !r && i < KEEPER_RECENT_IMAGES; i++)
        if (k->recent_images[i].used < oldest->used)
            oldest = &k->recent_images[i];
    if (!r) {
        r = oldest;
        if (r->name[0])
            forget(k, r);
        snprintf(r->name, sizeof(r->name), "%s", s->image_name);
    }
    r->used = ++k->images_used;
}

void image_slot_failed(struct keeper *k, const struct slot *s)
{
    struct recent_image *r = s->image_name[0] ? recent_find(k, s->image_name) : NULL;
    if (r)
        r->name[0] = '\0'; // not again and again
}

void image_slots_forget(struct keeper *k)
{
    for (unsigned i = 0; i < KEEPER_RECENT_IMAGES; i++)
        if (k->recent_images[i].name[0])
            forget(k, &k->recent_images[i]);
}

// What lies under the name now is what the sandbox was given: a name that went and came back is
// another folder. The sandbox holds its own, so that its number is not given again.
static bool is_same(struct keeper *k, const struct slot *s)
{
    struct stat st;
    _cleanup_close_ int dir = open_beneath(k->root.images_dir, s->image_name, NULL);
    return dir >= 0 && fstat(dir, &st) == 0 && st.st_ino == s->image_inode;
}

struct slot *image_slot_dressed(struct keeper *k, const char *image_dir)
{
    const struct recent_image *r = recent_find(k, image_dir);
    struct slot *s = r ? waiting_for(k, r) : NULL;
    if (!s || s->state != SLOT_DRESSED)
        return NULL;
    if (is_same(k, s))
        return s;
    slot_kill(k, s);
    return NULL;
}

struct slot *image_slot_dress(struct keeper *k, const char *image_dir)
{
    k->images = true;
    for (unsigned i = 0; k->blanks && i < k->n_slots; i++) {
        struct slot *s = &k->slots[i];
        struct stat st;
        if (s->state != SLOT_BLANK || s->killed)
            continue;
        _cleanup_close_ int image = root_image(&k->root, image_dir, NULL);
        if (image < 0 || fstat(image, &st) < 0)
            return NULL; // making one afresh will say why
        if (message_send(s->channel, "i", 1, &image, 1, NULL) < 0) {
            slot_kill(k, s);
            continue;
        }
        s->image = true;
        s->image_inode = st.st_ino;
        if (strlen(image_dir) < sizeof(s->image_name))
            snprintf(s->image_name, sizeof(s->image_name), "%s", image_dir);
        slot_set_state(k, s, SLOT_MAKING);
        return s;
    }
    return NULL;
}

// The image that should have one waiting and has none; NULL when all have.
static struct recent_image *wanting(struct keeper *k)
{
    for (unsigned i = 0; i < KEEPER_RECENT_IMAGES; i++)
        if (k->recent_images[i].name[0] && !waiting_for(k, &k->recent_images[i]))
            return &k->recent_images[i];
    return NULL;
}

bool image_slots_wanted(struct keeper *k)
{
    if (!k->images || !k->config.spare_slots)
        return false;
    return k->blanks < KEEPER_BLANKS || wanting(k);
}

int image_slots_make(struct keeper *k, struct err *err)
{
    struct recent_image *r = k->blanks ? wanting(k) : NULL;
    if (!r)
        return slot_make_blank(k, err);
    const struct slot *s = image_slot_dress(k, r->name);
    if (!s) {
        r->name[0] = '\0'; // the image has gone
        return 0;
    }
    r->slot = s->number;
    r->generation = s->generation;
    return 0;
}
