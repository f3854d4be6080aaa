import { sql } from "kysely";
import type { Db } from "../registry/database.ts";
import type { Labelled } from "../registry/versions.ts";
import { imagePath, labelPath } from "../store/layout.ts";
import { dirObject } from "./dvc-objects.ts";
import type { Folder } from "./pointers.ts";

/** An object that a version needs, and what can make it again. */
export interface VersionObject {
  readonly oid: string;
  readonly bytes: number;
  /** "the picture images/ab/cd/….jpg", as people are told. */
  readonly name: string;
  readonly of:
    | { readonly kind: "picture"; readonly sha256: string; readonly file: string }
    | { readonly kind: "label"; readonly sha256: string; readonly annotationId: number }
    | { readonly kind: "list"; readonly text: string };
}

/** A folder of a version as the registry's rows make it: its `.dir` object, and all others that it names. */
export interface FolderObjects {
  readonly list: string | undefined;
  readonly objects: readonly VersionObject[];
}

/** What the rows make of a folder of `images.dvc`, as it was in a version. */
export async function objectsOfFolder(db: Db, versionId: number, folder: Pick<Folder, "path">): Promise<FolderObjects> {
  const rows = await labelledInVersion(db, versionId, folder.path);
  if (rows.length === 0) return { list: undefined, objects: [] };
  const nameIn = (file: string) => `images/${file}`.slice(folder.path.length + 1);
  const objects = rows.flatMap((row): VersionObject[] => {
    const [file, label] = [imagePath(row.sha256, row.extension), labelPath(row.sha256)];
    return [
      { oid: row.md5, bytes: row.bytes, name: `the picture images/${file}`, of: { kind: "picture", sha256: row.sha256, file } },
      { oid: row.labelMd5, bytes: row.labelBytes, name: `the label file images/${label}`, of: { kind: "label", ...row } },
    ];
  });
  const { oid, text } = dirObject(
    rows.flatMap(({ sha256, extension, md5, labelMd5 }) => [
      { md5, relpath: nameIn(imagePath(sha256, extension)) },
      { md5: labelMd5, relpath: nameIn(labelPath(sha256)) },
    ]),
  );
  return { list: oid, objects: [...objects, { oid, bytes: Buffer.byteLength(text), name: `the list of files of ${folder.path}`, of: { kind: "list", text } }] };
}

async function labelledInVersion(db: Db, versionId: number, folder: string): Promise<Labelled[]> {
  const prefix = folder.slice("images/".length);
  const { rows } = await sql<Labelled>`
    select images.sha256, extension, md5, images.bytes, annotations.id as "annotationId", label_md5 as "labelMd5", label_bytes as "labelBytes"
    from images
    join lateral (
      select annotation_id from version_changes
      where version_changes.sha256 = images.sha256 and version_id <= ${versionId}
      order by version_id desc limit 1
    ) change on true
    join annotations on annotations.id = change.annotation_id
    where images.sha256 >= ${prefix} and images.sha256 < ${`${prefix}g`}
    order by images.sha256`.execute(db);
  return rows;
}
